"""Where Kubernetes comes from, and the images it runs."""
