"""Auditing code as it runs: the decorator, the instrumentor, one module for each framework."""
