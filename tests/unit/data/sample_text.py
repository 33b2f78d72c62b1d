"""The longer texts of the sample run."""

POL_01 = "Under ALLOW_ANY the mesh MUST pass an unregistered HTTP request to the server it was meant for."
POL_03 = "Under REGISTRY_ONLY the mesh MUST answer unregistered HTTP with 502, server: envoy and an empty body."
POL_04 = "Under REGISTRY_ONLY the mesh MUST reset unregistered HTTP where it does not know the port."
POL_06 = "The mesh MUST follow an edit of ConfigMap istio in both directions, with no restart of any pod."
POL_07 = "The mesh MUST honour the mode given at install."
HTTP_01 = "A registered host MUST be reached by HTTP, with server: envoy and a service time in the answer."
TLS_01 = "TLS to a registered host MUST pass by SNI, and the certificate MUST be the origin's."
TLS_02 = "Protocol HTTPS MUST pass TLS to a registered host as protocol TLS does."
TLS_03 = "One entry with two hosts and ports 80 and 443 MUST open each host on each port."
TLS_05 = "Under REGISTRY_ONLY the mesh MUST block TLS to a name that no entry lists, and TLS without a name."
TCP_01 = "TCP MUST be matched by the addresses of an entry."
TCP_05 = "A protocol in which the server speaks first MUST be carried to a registered address."
TCP_05_WHY = "client pod gone: pod client-6b9 was evicted while the case ran (node low on memory)"
RES_01 = "With resolution DNS the sidecar MUST resolve the host itself, whatever address the caller dialled."
RES_04 = "With resolution STATIC the sidecar MUST send to the given endpoints only, and spread over them."
RES_05 = "With resolution NONE the caller's address MUST decide which server is reached."
RSL_01 = "A fault abort on an external host MUST be answered by the sidecar with the status it names."
RSL_02 = "A fault delay on an external host MUST delay the request by the time it names."
HDR_01 = "X-Envoy-Peer-Metadata MUST carry the workload's own facts (送信元 Pod の metadata) as a protobuf Struct."
HDR_02 = "X-Envoy-Peer-Metadata-Id MUST be sidecar~IP~pod.namespace~namespace.svc.cluster.local."
HDR_02_WHY = """\
assert 'sidecar~10.2...er.local' == 'sidecar~10.2...er.local'

  - sidecar~10.244.0.17~client-6b9.egress-conformance-w1~egress-conformance-w1.svc.cluster.local
  ?                                ^^^^^^^^^^^^^^^^^^^^^^
  + sidecar~10.244.0.17~client-6b9.default~default.svc.cluster.local
  ?                                ^^^^^^^ ^^^^^^^"""
HDR_03 = "IN_MESH MUST strip both peer metadata headers towards external hosts."
HDR_04 = "X-Envoy-Decorator-Operation MUST be host:80/* towards a registered host."
HDR_05 = "With a tracer the sidecar MUST add B3 headers; without one it MUST NOT."
HDR_09 = "disableContextPropagation MUST suppress B3 and traceparent."
TEL_03 = "istio_requests_total MUST name the registered host, PassthroughCluster and BlackHoleCluster."
VAL_01 = "An entry with endpoints and a workloadSelector MUST be refused, and nothing stored."
SCP_01 = "exportTo . MUST hide an entry from other namespaces."
REFUSED = 'ServiceEntry.networking.istio.io "both" is invalid: spec: only one of WorkloadSelector or Endpoints'

SERVICE_ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: site
  namespace: egress-conformance-w0   # 登録は簡単です
  labels:
    egress-conformance/owner: run-20260828
spec:
  hosts:
    - {host}
  exportTo: ["."]
  location: MESH_EXTERNAL
  ports:
    - number: 80
      name: http
      protocol: HTTP
  resolution: STATIC
  endpoints:
    - address: 10.244.0.21
    - address: 10.244.0.22
"""

VIEW = """\
host res-04.world.test
  cluster  outbound|80||res-04.world.test (EDS)
  endpoint 10.244.0.21:80 HEALTHY
  endpoint 10.244.0.22:80 HEALTHY
  route    80 res-04.world.test /* -> outbound|80||res-04.world.test
listeners on ports 80, 443, 15001, 15006, 15021, 15090; mode REGISTRY_ONLY
"""

ENDPOINTS = """\
ENDPOINT             STATUS      OUTLIER CHECK     CLUSTER
10.244.0.21:80       HEALTHY     OK                outbound|80||res-04.world.test
10.244.0.22:80       HEALTHY     OK                outbound|80||res-04.world.test
"""

ISTIOD_LOG = "\n".join(
    f"2026-08-28T03:41:{second:02d}.113402Z  info  ads  Push debounce stable[{second}] 1 for config "
    "ServiceEntry/egress-conformance-w0/site: 100.2ms since last change, full=true"
    for second in range(10, 50)
)
