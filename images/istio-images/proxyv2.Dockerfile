# Istio's agent with upstream Envoy. The user comes from the injection template; istio-init runs as root.
ARG DEBIAN_BASE
FROM ${DEBIAN_BASE}
COPY envoy_bootstrap_tmpl.json /var/lib/istio/envoy/envoy_bootstrap_tmpl.json
COPY envoy pilot-agent /usr/local/bin/
# The agent writes Envoy's bootstrap there as user 1337.
RUN mkdir -p /etc/istio/proxy && chmod 777 /etc/istio/proxy
ENTRYPOINT ["/usr/local/bin/pilot-agent"]
