"""From an act to its receipt: provider, logger, action, processor, exporter, context."""
