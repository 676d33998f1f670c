"""High availability: PostgreSQL under Patroni, Redis under Sentinel and as a cluster, under faults.

``make test-ha`` runs it. All servers run in namespaces of their own, so that a machine can be cut
off and nothing is left behind.
"""
