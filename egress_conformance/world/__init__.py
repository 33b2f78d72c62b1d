"""What lies outside the mesh: servers, DNS and certificates."""
