"""Synthetic rows by CTGAN or TVAE, at their defaults: `PYTHON benchmarks/tables/peer.py CTGAN train.csv out.csv`.

Xu et al., "Modeling Tabular Data using Conditional GAN", NeurIPS 2019, in the authors' package `ctgan`, which needs an
environment of its own. Missing cells of text are a category; there must be none of numbers.
"""

import json
import sys
import time
from pathlib import Path

import ctgan
import pandas as pd
import torch


def main(name: str, train: str, out: str) -> None:
    """Fit a peer to the rows of a file, and write as many of its own."""
    torch.manual_seed(0)
    rows = pd.read_csv(train)
    texts = [column for column in rows if not pd.api.types.is_numeric_dtype(rows[column])]
    rows[texts] = rows[texts].fillna("?")
    model = getattr(ctgan, name)(enable_gpu=False)
    began = time.process_time()
    model.fit(rows, texts)
    seconds = time.process_time() - began
    model.sample(len(rows)).to_csv(out, index=False)
    about = {"package": f"ctgan {ctgan.__version__}", "cpu_seconds": round(seconds), "rows": len(rows)}
    Path(out).with_suffix(".json").write_text(json.dumps(about) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
