"""Loads the plugin; its options are in `pytest --help` under "istio egress conformance"."""

pytest_plugins = ["egress_conformance.plugin"]
