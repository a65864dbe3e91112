"""The review page: its server, its security, and the page itself in a browser."""
