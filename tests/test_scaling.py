"""The simulation of ingest reaches what its slowest part can serve, and no more."""

from dataclasses import replace

import pytest

from tools.scaling import Site, limits, simulate

SITE = Site(nodes=4, cores=8, write=1e-5)


@pytest.mark.parametrize(
    ("part", "site"),
    [
        ("cores", SITE),
        ("links of nodes", replace(SITE, node_link=50e6)),
        ("store", replace(SITE, store=150e6)),
        ("writer", replace(SITE, write=0.1)),
    ],
)
def test_the_slowest_part_decides(part: str, site: Site) -> None:
    served = limits(site)
    assert min(served, key=lambda name: served[name]) == part
    assert simulate(site, 20_000) == pytest.approx(served[part], rel=0.06)


def test_more_nodes_are_faster_until_the_writer_can_not_follow() -> None:
    rates = [simulate(replace(SITE, nodes=nodes, write=2e-3), 20_000) for nodes in (1, 4, 16, 64)]
    assert rates[0] * 3.5 < rates[1] < rates[2] <= rates[3] * 1.01
    assert rates[3] == pytest.approx(500, rel=0.02)
