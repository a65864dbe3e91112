"""Servers on which people label: Label Studio and CVAT, by their REST API."""
