"""How people and programs ask: commands, Python, service, export."""
