"""Shards: the cases of a run dealt out to several, the same way wherever it is done."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from egress_conformance.case import Case
from egress_conformance.errors import UserError


@dataclass(frozen=True)
class Shard:
    """One share of the cases.

    Attributes:
        index: which one, from 1.
        count: of how many.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """A shard as the user writes it: ``2/3``.

        Raises:
            UserError: it is none.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count) <= 100):
            raise UserError(f"--shard {text} is no share of the cases", "write 2/3 for the second of three")
        return cls(int(index), int(count))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, cases: Sequence[Case], *, withheld: bool) -> set[str]:
        """Keys of those cases that are this shard's.

        Rows that share a set-up stay together. Each mode of the mesh is dealt out by itself, so that all shards are in
        the same mode for about as long.

        Args:
            cases: all cases of the run, in any order.
            withheld: whether their subjects are withheld.
        """
        phases: dict[tuple[str, bool], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for case in sorted(cases, key=lambda each: each.key):
            scene = case.scene_in_force(withheld=withheld)
            phase = phases[case.mode_in_force(withheld=withheld), case.flips]
            phase[f"{case.id} {scene}" if scene else case.key].append(case.key)
        total: Counter[int] = Counter()
        mine: set[str] = set()
        for _, together in sorted(phases.items()):
            dealt: Counter[int] = Counter()
            # The large ones first, or the last of them would make one shard longer than the others.
            for keys in sorted(together.values(), key=lambda keys: (-len(keys), keys)):
                shard = min(range(1, self.count + 1), key=lambda each: (dealt[each], total[each], each))
                dealt[shard] += len(keys)
                total[shard] += len(keys)
                if shard == self.index:
                    mine.update(keys)
        return mine
