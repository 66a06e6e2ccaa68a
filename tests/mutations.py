"""Plant one bug at a time in a copy of the project and see a test fail: `python -m tests.mutations [NAME ...]`.

A test that cannot fail proves nothing. Each bug below is one that peers have had, or that an invariant exists to catch.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Bug(NamedTuple):
    """A line to replace, and the tests one of which must fail."""

    file: str
    right: str
    wrong: str
    tests: str


CAUSAL = "tests/invariants/test_causality.py"
EXACT = "tests/invariants/test_exactness.py"
TRAIN = "tests/invariants/test_training.py"
BUGS = {
    "raster model reads the pixel itself": Bug(
        "ar_lightning/nn/causal.py", "left = F.pad(z, (1, 0))[..., :-1]", "left = z", CAUSAL
    ),
    "raster model reads its own row": Bug(
        "ar_lightning/nn/causal.py", "above = F.pad(z, (0, 0, 1, 0))[:, :, :-1]", "above = z", CAUSAL
    ),
    "sequence model is not shifted": Bug(
        "ar_lightning/nn/causal.py", "past = F.pad(values[:, self.order[:-1]], (0, 0, 1, 0))",
        "past = values[:, self.order]", CAUSAL,
    ),
    "blind spot: the first layer sees two rows of three columns": Bug(
        "ar_lightning/models/pixelrnn.py", "height=3, width=7", "height=1, width=1", CAUSAL
    ),
    "NADE forgets what came before a block": Bug(
        "ar_lightning/nn/prefix.py", "    A[0] += a\n", "    A[0] += a * 0\n", CAUSAL
    ),
    "the last sites of the order are swapped back wrongly": Bug(
        "ar_lightning/nn/causal.py", "index_copy(1, self.order, ordered)",
        "index_copy(1, self.order.flip(0), ordered)", CAUSAL,
    ),
    "softmax of another temperature than the sampler's": Bug(
        "ar_lightning/likelihoods.py", "nll = F.cross_entropy(logits.flatten(0, 1)", "nll = F.cross_entropy(2 * logits.flatten(0, 1)", EXACT
    ),
    "Bernoulli scored as a regression": Bug(
        "ar_lightning/likelihoods.py", "return -F.binary_cross_entropy_with_logits(logits, x.to(logits.dtype), ",
        "return -F.mse_loss(logits.sigmoid(), x.to(logits.dtype), ", EXACT,
    ),
    "the first site is not scored": Bug(
        "ar_lightning/density.py", ".flatten(1).sum(1)", ".flatten(1)[:, 1:].sum(1)", EXACT
    ),
    "sampler draws from another distribution": Bug(
        "ar_lightning/likelihoods.py", "return (noise[:, 0] < p).long()", "return (noise[:, 0] * 0.9 < p).long()", EXACT
    ),
    "sampler takes the mode": Bug(
        "ar_lightning/likelihoods.py", "return below.sum(1).clamp_(max=self.levels - 1)", "return p.argmax(1)", EXACT
    ),
    "temperature is ignored": Bug(
        "ar_lightning/likelihoods.py", "(params)[:, 0] / temperature)", "(params)[:, 0])", EXACT
    ),
    "streaming forgets the row above": Bug(
        "ar_lightning/nn/streaming.py", 'past["tail"] = window.narrow(dim, window.shape[dim] - n, n)',
        'past["tail"] = window.narrow(dim, window.shape[dim] - n, n) * (dim != 2)', EXACT,
    ),
    "streaming keeps the last row's pixels": Bug(
        "ar_lightning/nn/conv.py", "            self.past.clear()", "            pass", EXACT
    ),
    "Row LSTM streams from a state of zeros": Bug(
        "ar_lightning/nn/lstm.py", "as_steps(self.c0.expand(", "as_steps((self.c0 * 0).expand(", EXACT
    ),
    "a sample depends on its batch": Bug(
        "ar_lightning/density.py", "noise[part].to(self.device)", "noise[: len(part)].to(self.device)", EXACT
    ),
    "completion overwrites known values": Bug(
        "ar_lightning/sampling.py", "torch.where(self.mask[:, site], self.known[:, site], drawn)", "drawn", EXACT
    ),
    "the cache survives an error": Bug(
        "ar_lightning/nn/streaming.py", "    finally:\n        for m in modules:\n            m.past = None",
        "    finally:\n        pass", EXACT,
    ),
    "evaluation is padded under DDP": Bug(
        "ar_lightning/data/module.py", "sampler = UnrepeatedDistributedSampler(",
        "sampler = torch.utils.data.DistributedSampler(", TRAIN + " -k two_processes and markov",
    ),
    "the mean of batch means": Bug(
        "ar_lightning/metrics.py", "self.nats += nll.double().sum()\n        self.examples += nll.numel()",
        "self.nats += nll.double().mean()\n        self.examples += 1", TRAIN + " -k two_processes and markov",
    ),
    "shuffling forgets the epoch": Bug(
        "ar_lightning/data/module.py", "[self.seed, self.epoch]", "[self.seed, id(self)]", TRAIN + " -k killed and nade"
    ),
    "resume starts from the averaged weights": Bug(
        "ar_lightning/trainer.py", "        path = Path(path)\n",
        "        path = Path(path)\n        checkpoint.pop('current_model_state', None)\n",
        TRAIN + " -k killed and nade",
    ),
    "samples do not depend on the seed": Bug(
        "ar_lightning/density.py", "return torch.rand(n, self.spec.dims, self.likelihood.noise, generator=generator)",
        "return torch.rand(n, self.spec.dims, self.likelihood.noise)", EXACT,
    ),
    "an epoch's randomness depends on the epochs before": Bug(
        "ar_lightning/lit.py", "torch.manual_seed(epoch_seed(", "((", TRAIN + " -k prolonged"
    ),
    "EMA weights are not what is loaded": Bug(
        "ar_lightning/density.py", 'checkpoint["state_dict"].items()',
        'checkpoint.get("current_model_state", checkpoint["state_dict"]).items()', TRAIN + " -k averaged and nade",
    ),
    "bits per dimension in nats": Bug(
        "ar_lightning/metrics.py", "(self.dims * math.log(2))", "self.dims", TRAIN + " -k reported"
    ),
}  # fmt: skip


def caught(bug: Bug) -> bool:
    """Whether a test fails once the bug is in a copy of the project."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "runs", "*_cache", "__pycache__"))
        source = (copy / bug.file).read_text()
        assert source.count(bug.right) >= 1, f"{bug.file} no longer says: {bug.right}"
        (copy / bug.file).write_text(source.replace(bug.right, bug.wrong))
        paths, _, only = bug.tests.partition(" -k ")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            paths,
            *(["-k", only] if only else []),
        ]
        done = subprocess.run(command, cwd=copy, env=_environment(copy), capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout + done.stderr  # 2 and above: the tests could not run
        return done.returncode == 1


def _environment(copy: Path) -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(copy)}


def main() -> int:
    chosen = sys.argv[1:] or list(BUGS)
    missed = []
    for name in chosen:
        found = caught(BUGS[name])
        print(f"{'caught' if found else 'MISSED'}  {name}", flush=True)
        missed += [] if found else [name]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} planted bugs caught")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
