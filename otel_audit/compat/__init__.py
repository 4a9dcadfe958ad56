"""The interfaces of the two systems that this project replaces; see docs/migrating.md."""
