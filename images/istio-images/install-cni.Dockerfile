# Istio's CNI node agent, which puts its plugin into the node; paths as in Istio's own image.
ARG DEBIAN_BASE
FROM ${DEBIAN_BASE}
COPY istio-cni /opt/cni/bin/istio-cni
COPY install-cni /usr/local/bin/install-cni
ENTRYPOINT ["/usr/local/bin/install-cni"]
