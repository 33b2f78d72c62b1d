"""Istio: installed, configured, and its proxies read."""
