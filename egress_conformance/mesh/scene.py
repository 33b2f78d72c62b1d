"""A set-up that the rows of a table share: applied by the first row that wants it, kept for the next ones."""

from dataclasses import dataclass, field

from egress_conformance.cluster.kube import Doc, Kube


@dataclass
class Scene:
    """What one worker has in place for the rows of a table, beyond one case.

    Attributes:
        name: the scene that is in place; "" for none.
        values: what its manifest was filled with.
        text: its manifest, filled.
    """

    name: str = ""
    values: dict[str, str] = field(default_factory=dict)
    text: str = ""
    _docs: list[Doc] = field(default_factory=list)

    def enter(self, kube: Kube, name: str, docs: list[Doc], values: dict[str, str], text: str) -> None:
        """Put a scene in place."""
        self.name, self.values, self.text = name, values, text
        for doc in docs:
            self._docs.append(doc)
            kube.apply(doc)

    def leave(self, kube: Kube) -> None:
        """Take away what is in place."""
        while self._docs:
            kube.delete(self._docs.pop())
        self.name = ""


def destinations(docs: list[Doc]) -> set[str]:
    """Names of the clusters that ServiceEntries make, by host and port."""
    return {
        f"outbound|{port['number']}||{host}"
        for doc in docs
        for host in doc["spec"].get("hosts", [])
        for port in doc["spec"].get("ports", [])
    }
