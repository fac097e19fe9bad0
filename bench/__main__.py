"""`python -m bench [fanout|roundtrip|idle|start|aws|scale …] [--rounds N] [--quick]`: measure, compare, report.

Everything is a ratio of sides that ran in turn in one go, since a machine's speed drifts; absolute figures stand beside
them for orientation. Exit status 1 if a *must* does not hold. The figures also go to `bench/results/` as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench import aws, measures, scale
from bench.measures import Row

MEASURES = {**measures.MEASURES, "aws": aws.aws, "scale": scale.scale}
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the measures that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("measures", nargs="*", help="which to run; all without a name")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two short rounds: for a look, not for a verdict")
    options = parser.parse_args()
    rounds, seconds = (2, 0.5) if options.quick else (options.rounds, 1.5)
    rows: list[Row] = []
    for name in options.measures or MEASURES:
        print(f"\n{name}: {rounds} rounds", flush=True)
        for row in MEASURES[name](rounds, seconds):
            rows.append(row)
            print(_line(row), flush=True)
    _save(rows)
    failed = [row for row in rows if row.must and not row.holds]
    print(
        f"\n{len(failed)} of {sum(bool(row.must) for row in rows)} musts do not hold"
        if failed
        else "\nevery must holds"
    )
    return 1 if failed else 0


def _line(row: Row) -> str:
    value = f"{row.value.median:,.2f}{row.unit}" if row.unit != "/s" else f"{row.value.median:,.0f}{row.unit}"
    line = f"  {row.what}: {value}"
    if row.must:
        sign = "≥" if row.at_least else "≤"
        verdict = "holds" if row.holds else "DOES NOT HOLD"
        line += f" ({row.value.low:.2f} to {row.value.high:.2f}); must {sign} {row.must:g}{row.unit}: {verdict}"
        line += f"; aim {sign} {row.aim:.2g}{row.unit}"
    return f"{line}; {row.note}" if row.note else line


def _save(rows: list[Row]) -> None:
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    file.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    sys.exit(main())
