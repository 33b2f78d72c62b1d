"""From a request to attempts, witnesses, and what they agree on."""
