"""Conformance suite for traffic that leaves an Istio mesh."""
