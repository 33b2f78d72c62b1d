"""`python -m egress_conformance`, the same as `egress-conformance`."""

from egress_conformance.cli import main

main()
