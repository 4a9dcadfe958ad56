"""What would be audited here: looked at before anything happens."""
