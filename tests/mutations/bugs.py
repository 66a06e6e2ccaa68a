"""Bugs to plant, one at a time, each beside the tests that must catch it.

Each is one that peers have had, or that an invariant exists to catch.
"""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Bug(NamedTuple):
    """A line to replace, and the tests one of which must fail: files, then `-k WORD and WORD` that choose among them."""

    file: str
    right: str
    wrong: str
    tests: str

    @property
    def files(self) -> list[str]:
        return self.tests.partition(" -k ")[0].split()

    @property
    def words(self) -> list[str]:
        return [word for word in self.tests.partition(" -k ")[2].split(" and ") if word]


CAUSAL = "tests/invariants/test_causality.py"
EXACT = "tests/invariants/test_exactness.py"
DENSITY = "tests/invariants/test_densities.py"
TRAIN = "tests/invariants/test_training.py"
STUDY = "tests/sweep/test_study.py"
WORKER = "tests/sweep/test_worker.py"
CODEC = "tests/inference/test_codec.py"
EVALUATE = "tests/inference/test_evaluate.py"
ENDS = "tests/invariants/test_ends.py"
BUGS = {
    "raster model reads the pixel itself": Bug(
        "ar_lightning/models/base.py", "left = F.pad(z, (1, 0))[..., :-1]", "left = z", CAUSAL
    ),
    "raster model reads its own row": Bug(
        "ar_lightning/models/base.py", "above = F.pad(z, (0, 0, 1, 0))[:, :, :-1]", "above = z", CAUSAL
    ),
    "sequence model is not shifted": Bug(
        "ar_lightning/models/base.py", "with_past(self.before, tokens.index_select(1, self._places(tokens)), 1, 1)[:, :-1]",
        "tokens.index_select(1, self._places(tokens))", CAUSAL + " -k nade",
    ),
    "blind spot: the first layer sees two rows of three columns": Bug(
        "ar_lightning/nn/conv.py", "height=3, width=7", "height=1, width=1", CAUSAL
    ),
    "NADE forgets what came before a block": Bug(
        "ar_lightning/nn/kernels/nade.py", "    A[0] += a\n", "    A[0] += a * 0\n", CAUSAL
    ),
    "the last sites of the order are swapped back wrongly": Bug(
        "ar_lightning/models/base.py", "index_copy(1, self._places(ordered), ordered)",
        "index_copy(1, self._places(ordered).flip(0), ordered)", CAUSAL,
    ),
    "softmax of another temperature than the sampler's": Bug(
        "ar_lightning/likelihoods/discrete.py", "logits = at_least_float32(params).unflatten",
        "logits = 2 * at_least_float32(params).unflatten", EXACT + " -k frequencies",
    ),
    "Bernoulli scored as a regression": Bug(
        "ar_lightning/likelihoods/discrete.py", "signed = sign * logits",
        'return -F.mse_loss(logits.sigmoid(), x.to(logits.dtype), reduction="none")', EXACT + " -k sum_to_one and independent",
    ),
    "the first site is not scored": Bug(
        "ar_lightning/density/density.py", ".flatten(1).sum(1)", ".flatten(1)[:, 1:].sum(1)",
        EXACT + " -k sum_to_one and independent",
    ),
    "sampler draws from another distribution": Bug(
        "ar_lightning/likelihoods/discrete.py", "return (noise[:, 0] < p).long()", "return (noise[:, 0] * 0.9 < p).long()",
        EXACT + " -k frequencies and independent",
    ),
    "sampler takes the mode": Bug(
        "ar_lightning/likelihoods/base.py", "return below.sum(1).clamp_(max=logits.shape[1] - 1)",
        "return logits.argmax(1)", EXACT + " -k frequencies",
    ),
    "temperature is ignored": Bug(
        "ar_lightning/likelihoods/base.py", "else logits / temperature", "else logits",
        EXACT + " -k temperature and independent",
    ),
    "the temperature of a mixture is another": Bug(
        "ar_lightning/likelihoods/logistic.py", "return choose(logits / temperature, noise",
        "return choose(logits / temperature**0.5, noise", EXACT + " -k tempers and logistic",
    ),
    "streaming forgets the row above": Bug(
        "ar_lightning/nn/streaming.py", 'past["tail"] = window.narrow(dim, window.shape[dim] - n, n)',
        'past["tail"] = window.narrow(dim, window.shape[dim] - n, n) * (dim != 2)', EXACT + " -k streaming_equals",
    ),
    "streaming shifts a finished row": Bug(
        "ar_lightning/nn/streaming.py", "self.data[:, self.left :].transpose",
        "self.data[:, : self.data.shape[1] - self.left].transpose", EXACT + " -k streaming_equals and pixelcnn",
    ),
    "green reads itself": Bug(
        "ar_lightning/models/base.py", "earlier = F.pad(z, (0, 0, 0, 0, inputs, 0))[:, :-inputs]", "earlier = z",
        CAUSAL + " -k row_lstm",
    ),
    "every colour reads every other": Bug(
        "ar_lightning/nn/conv.py", "torch.ones(colours, colours).tril()", "torch.ones(colours, colours)",
        CAUSAL + " -k row_lstm",
    ),
    "colours do not read each other": Bug(
        "ar_lightning/nn/conv.py", "torch.ones(colours, colours).tril()", "torch.eye(colours)", CAUSAL + " -k row_lstm"
    ),
    "a kernel reads pixels to the right": Bug(
        "ar_lightning/nn/conv.py", "mask[:, :, above, left + 1 :] = 0", "mask[:, :, above, left + 1 :] = 1",
        CAUSAL + " -k jacobian and pixelcnn",
    ),
    "the right-to-left LSTM is not shifted down": Bug(
        "ar_lightning/nn/kernels/lstm_scans.py", "there[:, W:] += back[:, :-W]", "there += back",
        CAUSAL + " -k diagonal",
    ),
    "the Diagonal BiLSTM streams without its second map": Bug(
        "ar_lightning/nn/lstm.py", 'return h + past["shifted"][step]', "return h",
        EXACT + " -k streaming_equals and diagonal",
    ),
    "the joined LSTMs from right to left forget the row above": Bug(
        "ar_lightning/nn/lstm.py", "self.above.copy_(self.states)", "self.above.copy_(self.above)",
        EXACT + " -k streaming_equals and diagonal",
    ),
    "old codes of PixelCNN++ are read by its newer activation": Bug(
        "ar_lightning/nn/kernels/elu.py", "if form() == 1:\n        return by_sum(torch.cat", "if False:\n        return by_sum(torch.cat",
        "tests/inference/test_codec.py -k form_1",
    ),
    "a code is read by the newest arithmetic": Bug(
        "ar_lightning/inference/codec/codec.py", "rounding_of(form)", "rounding_of(FORM)",
        "tests/inference/test_codec.py -k arithmetic_of_its_form",
    ),
    "the gate's gradient forgets the slope of its sigmoid": Bug(
        "ar_lightning/nn/kernels/gate.py", "torch.mul(torch.addcmul(through, through, s, value=-1), t, out=db)",
        "torch.mul(through, t, out=db)", "tests/nn/test_kernels.py -k gate",
    ),
    "a compiled NADE learns from the gradient of one site too few": Bug(
        "ar_lightning/nn/kernels/nade_compiled.py", "dW.append((x[:, None] * da).sum(0))",
        "dW.append((x[:, None] * (da - g[:, None] * v)).sum(0))", "tests/nn/test_kernels.py -k nade",
    ),
    "the gradient of a Row LSTM's states goes the wrong way": Bug(
        "ar_lightning/nn/kernels/lstm_steps.py", "(*dxs, *dabove)", "(*dxs, *reversed(dabove))",
        "tests/nn/test_lstm.py -k row",
    ),
    "a diagonal's cell state comes from above": Bug(
        "ar_lightning/nn/kernels/lstm_scans.py", "windows(c, beside, sizes)", "windows(c, above, sizes)",
        EXACT + " -k streaming_equals and diagonal",
    ),
    "the vertical stack is one row ahead": Bug(
        "ar_lightning/models/gated_pixelcnn.py", "self.first.above(above)", "self.first.above(above.roll(-1, 2))",
        CAUSAL + " -k gated",
    ),
    "attention reads the future": Bug("ar_lightning/nn/attention.py", "is_causal=True", "is_causal=False",
        CAUSAL + " -k transformer"),
    "a batch that is not compiled stays filled up": Bug(
        "ar_lightning/density/compiled_tokens.py", "_keep(model, torch.arange(n))", "_keep(model, rows)",
        "tests/density/test_compiled.py -k rest_takes_longer",
    ),
    "a compiled step in any order writes where the model's own order goes": Bug(
        "ar_lightning/density/compiled_tokens.py",
        "token_order(model.order, model.shapes) if path is None else path[..., 1:]",
        "token_order(model.order, model.shapes)", "tests/density/test_compiled.py -k tensors and any_order",
    ),
    "attention forgets the newest key": Bug(
        "ar_lightning/nn/attention.py", "k, v = kv[:, :, :, :m]",
        "k, v, mask = *kv[:, :, :, : max(1, m - 1)], None",
        EXACT + " -k streaming_equals and transformer",
    ),
    "the logistic mixture forgets the tails": Bug(
        "ar_lightning/likelihoods/logistic.py", "torch.where(level == 0, up_to, torch.where(",
        "torch.where(level < 0, up_to, torch.where(", EXACT + " -k sum_to_one and logistic",
    ),
    "green is drawn from the mixture as if red were not known": Bug(
        "ar_lightning/likelihoods/logistic.py", "log_weights = log_weights + self._log_mass(mixture, c, earlier",
        "log_weights = log_weights + 0 * self._log_mass(mixture, c, earlier", EXACT + " -k frequencies and logistic",
    ),
    "draws from the logistics are cut, not rounded": Bug(
        "ar_lightning/likelihoods/logistic.py", "((self.levels - 1) / 2)).round()", "((self.levels - 1) / 2)).floor()",
        EXACT + " -k frequencies and logistic",
    ),
    "a coarse row is computed at odd rows": Bug(
        "ar_lightning/nn/resample.py", "odd = self.advance(x.shape[2]) % 2",
        "odd = self.advance(x.shape[2]) % 2 == 0", EXACT + " -k streaming_equals and pixelcnnpp",
    ),
    "weights are initialised on a share of the examples": Bug(
        "ar_lightning/training/lit.py", 'split("train", INITIAL)', 'split("train", INITIAL // self.trainer.world_size)',
        TRAIN + " -k two_processes and pixelcnnpp",
    ),
    "a mixture forgets the scale of its components": Bug(
        "ar_lightning/likelihoods/mixtures.py", " - scales.log()).logsumexp(dim)", ").logsumexp(dim)",
        DENSITY + " -k conditional_integrates",
    ),
    "a mixture draws from components of equal weight": Bug(
        "ar_lightning/likelihoods/mixtures.py", "choose(log_weights, which)", "choose(0 * log_weights, which)",
        DENSITY + " -k samples_have",
    ),
    "the temperature of a density is another": Bug(
        "ar_lightning/likelihoods/mixtures.py", "x[:, None], 1) / temperature", "x[:, None], 1) / temperature**0.5",
        DENSITY + " -k tempered",
    ),
    "log-probabilities of members are averaged": Bug(
        "ar_lightning/density/members.py", "log_p.logsumexp(0) - math.log(len(log_p))",
        "log_p.mean(0)", EXACT + " -k sum_to_one and made",
    ),
    "what is known says nothing about the member": Bug(
        "ar_lightning/density/members.py", "scores[:, k] = (terms", "scores[:, k] = 0 * (terms",
        EXACT + " -k completions and made",
    ),
    "the Jacobian has the wrong sign": Bug(
        "ar_lightning/density/density.py", "torch.stack(scores) - self.spec.log_volume",
        "torch.stack(scores) + self.spec.log_volume",
        "tests/data/test_dequantised.py -k subtracts",
    ),
    "a prompt is read a token late": Bug(
        "ar_lightning/density/loops.py", "model.scan(past[:, :-1], cond)", "model.scan(past[:, 1:], cond)",
        EXACT + " -k same_seed and nade",
    ),
    "an output of MADE reads its own value": Bug(
        "ar_lightning/models/made.py", "outputs - 1]", "outputs]", CAUSAL + " -k made"
    ),
    "MADE streams without the newest value": Bug(
        "ar_lightning/nn/masked.py", "slice(ends[i][n + 1])", "slice(ends[i][max(n, 1)])",
        EXACT + " -k streaming_equals and made",
    ),
    "masked weights at the edge of the stairs learn": Bug(
        "ar_lightning/nn/kernels/staircase.py", "            dweight[units, edge] *= mask\n", "",
        "tests/nn/test_kernels.py -k staircase",
    ),
    "few unknown values weigh as little as they are": Bug(
        "ar_lightning/density/orderless.py",
        "weight = scored.sum(1) / (scored & ~known).sum(1).clamp(min=1)",
        "weight = 1.0",
        "tests/models/test_deep_nade.py",
    ),
    "completion in the member's own order": Bug(
        "ar_lightning/density/orderless.py", "    if first is None:\n        return orders\n", "    return orders\n",
        "tests/models/test_deep_nade.py",
    ),
    "each member reads what is known in its own order": Bug(
        "ar_lightning/density/orderless.py", "every[0].argsort()", "orders.argsort(1)",
        "tests/models/test_transformer.py -k likely",
    ),
    "a key is turned by the place to predict": Bug(
        "ar_lightning/models/transformer.py", "torch.stack([here, came], -1)", "torch.stack([here, here], -1)",
        "tests/models/test_transformer.py -k apart",
    ),
    "a dilated convolution reads the future": Bug(
        "ar_lightning/nn/kernels/dilated.py", "h[rows:].addmm_(x[:-rows], W[tap])",
        "h[:-rows].addmm_(x[rows:], W[tap])",
        CAUSAL + " -k claimed and wavenet",
    ),
    "WaveNet writes a step late into its rings": Bug(
        "ar_lightning/nn/dilated.py", "self.slots(start)[:, 0], x[:, 0]", "self.slots(start + 1)[:, 0], x[:, 0]",
        EXACT + " -k streaming_equals and wavenet",
    ),
    "an RNN streams from zeros": Bug(
        "ar_lightning/nn/recurrent.py", "tuple(s.transpose(0, 1).contiguous() for s",
        "tuple(0 * s.transpose(0, 1).contiguous() for s", EXACT + " -k streaming_equals and rnn",
    ),
    "a window forgets the token before it": Bug(
        "ar_lightning/density/stream.py", 'model.before = memory.setdefault("before", {})', "model.before = {}",
        "tests/models/test_rnn.py",
    ),
    "states go to other lanes": Bug(
        "ar_lightning/density/stream.py", "lambda t: t[:lanes]", "lambda t: t[-lanes:]", "tests/models/test_rnn.py"
    ),
    "the last windows of a stream are not scored": Bug(
        "ar_lightning/data/module.py", "LaneSampler(len(examples), lanes, rank, world)",
        "LaneSampler(len(examples) // lanes * lanes, lanes, rank, world)", "tests/data tests/models/test_rnn.py",
    ),
    "columns are standardised by all rows": Bug(
        "ar_lightning/data/standardised.py", "for name in rows.standardise_by]", "for name in SPLITS]",
        "tests/data/test_table.py",
    ),
    "the Bayes classifier forgets the prior": Bug(
        "ar_lightning/training/lit.py", "(log_p + self.log_prior).argmax(1)", "log_p.argmax(1)", "tests/density/test_bayes.py"
    ),
    "Row LSTM streams from a state of zeros": Bug(
        "ar_lightning/nn/lstm.py", '("c", self.c0)', '("c", self.c0 * 0)',
        EXACT + " -k streaming_equals and row_lstm",
    ),
    "a sample depends on its batch": Bug(
        "ar_lightning/density/density.py", "uniforms[rows].to(", "uniforms[: len(rows)].to(",
        EXACT + " -k any_batch and independent",
    ),
    "completion overwrites known values": Bug(
        "ar_lightning/density/draw.py", "torch.where(self.mask[here], self.known[here], drawn)", "drawn",
        EXACT + " -k completions",
    ),
    "the cache survives an error": Bug(
        "ar_lightning/nn/streaming.py", "    finally:\n        for m in modules:\n            m.past = None",
        "    finally:\n        pass", EXACT + " -k no_trace",
    ),
    "evaluation is padded under DDP": Bug(
        "ar_lightning/data/module.py", "sampler = UnrepeatedDistributedSampler(",
        "sampler = torch.utils.data.DistributedSampler(", TRAIN + " -k two_processes and nade",
    ),
    "the mean of batch means": Bug(
        "ar_lightning/density/metrics.py", "self.nats += nll.double().sum()\n        self.examples += nll.numel()",
        "self.nats += nll.double().mean()\n        self.examples += 1", TRAIN + " -k two_processes and nade",
    ),
    "shuffling forgets the epoch": Bug(
        "ar_lightning/data/samplers.py", "[self.seed, self.epoch]", "[self.seed, id(self)]", TRAIN + " -k killed and nade"
    ),
    "resume starts from the averaged weights": Bug(
        "ar_lightning/training/trainer.py", "        with written(Path(path)",
        "        checkpoint.pop('current_model_state', None)\n        with written(Path(path)",
        TRAIN + " -k killed and nade",
    ),
    "samples do not depend on the seed": Bug(
        "ar_lightning/density/density.py", "return torch.rand(n, rows, self.likelihood.noise, generator=generator)",
        "return torch.rand(n, rows, self.likelihood.noise)", EXACT + " -k any_batch and independent",
    ),
    "an epoch's randomness depends on the epochs before": Bug(
        "ar_lightning/training/lit.py", "torch.manual_seed(epoch_seed(", "((", TRAIN + " -k prolonged"
    ),
    "EMA weights are not what is loaded": Bug(
        "ar_lightning/training/weights.py", 'checkpoint["state_dict"].items()',
        'checkpoint.get("current_model_state", checkpoint["state_dict"]).items()', TRAIN + " -k averaged_weights_are",
    ),
    "damaged weights are loaded": Bug(
        "ar_lightning/training/weights.py", 'about.pop("sha256", None) != _digest(about, weights)',
        'about.pop("sha256", None) is None', "tests/training/test_weights.py",
    ),
    "bits per dimension in nats": Bug(
        "ar_lightning/density/metrics.py", "(self.scored.double() * math.log(2))", "self.scored.double()", TRAIN + " -k reported"
    ),
    "of several retries of a trial all run": Bug(
        "ar_lightning/sweep/study.py", "    if not is_first_of_its_claim(me, trials):\n", "    if False:\n", STUDY
    ),
    "two workers that ask at once run one trial too many": Bug(
        "ar_lightning/sweep/study.py", "and t.number < number) for t", "and t.number < 0) for t", STUDY
    ),
    "a trial that finished late is run again": Bug(
        "ar_lightning/sweep/study.py", "[parent].state != TrialState.FAIL:",
        "[parent].state == TrialState.WAITING:", STUDY,
    ),
    "workers are dead when the storage was away": Bug(
        "ar_lightning/sweep/dead_workers.py", "min(now - self._looked, self.lease / 4)", "now - self._looked", STUDY
    ),
    "a trial that kills its workers is tried for ever": Bug(
        "ar_lightning/sweep/dead_workers.py", "if times <= MAX_LOST and", "if", STUDY
    ),
    "trials outlive their worker": Bug(
        "ar_lightning/training/trial_pipe.py", "            self._verdicts.put(json.loads(line))\n        _kill_group()\n",
        "            self._verdicts.put(json.loads(line))\n", WORKER + " -k between_two_reports",
    ),
    "a retry begins again": Bug(
        "ar_lightning/sweep/worker.py", 'resume = (run_dir / "config.yaml").is_file()', "resume = False",
        WORKER + " -k killed",
    ),
    "a retry does not repeat what was reported": Bug(
        "ar_lightning/sweep/worker.py", "            self._report_again(trial)\n", "            pass\n",
        WORKER + " -k killed",
    ),
    "an interrupted trial is not queued again": Bug(
        "ar_lightning/sweep/worker.py", "            return queue_again(self.study, frozen, lost=False)\n",
        "            return None\n", WORKER + " -k interrupted",
    ),
    "half a line in the journal stays there": Bug(
        "ar_lightning/sweep/launch.py", "(dropped := mend_journal(sweep.folder / JOURNAL))", "(dropped := 0)",
        WORKER + " -k power",
    ),
    "a worker goes on with a trial that another has taken": Bug(
        "ar_lightning/sweep/worker.py",
        "            except UpdateFinishedTrialError:\n                self._abandon()\n",
        "            except UpdateFinishedTrialError:\n                pass\n", WORKER + " -k between_two_reports",
    ),
    "a trial sees the ranks of the job around it": Bug(
        "ar_lightning/sweep/slots.py", "if not RANK_VARIABLES.fullmatch(key)", "if key", "tests/sweep/test_slots.py"
    ),
    "workers with one seed propose the same points": Bug(
        "ar_lightning/sweep/choosers.py", "(self.seed * 1_000_003 + trial.number)", "(self.seed * 1_000_003)",
        "tests/sweep/test_space.py",
    ),
    "a trial is judged by its last epoch": Bug(
        "ar_lightning/training/progress.py", 'if not self.best or metrics["val/nll"] < self.best["val/nll"]:', "if True:",
        "tests/sweep/test_training.py -k best_epoch",
    ),
    "a password is written to sweep.yaml": Bug(
        "ar_lightning/sweep/launch.py", "sweep.storage, password = without_password(sweep.storage)",
        "_, password = without_password(sweep.storage)",
        "tests/sweep/test_postgres.py -k password",
    ),
    "a code writes what only fills up the last window": Bug(
        "ar_lightning/inference/codec/coding.py", "coded = ~(over if self.padding is None else self.padding[here] | over)",
        "coded = ~over", CODEC,
    ),
    "each byte of a character begins one": Bug(
        "ar_lightning/media/byte_pairs.py", "0x80 <= byte < 0xC0", "byte < 0",
        "tests/data/test_byte_pairs.py -k begins",
    ),
    "a code is under the worst member": Bug(
        "ar_lightning/inference/codec/codec.py", "best = scores.argmax(0)", "best = scores.argmin(0)", CODEC,
    ),
    "log p(x) of a conditional density forgets the prior": Bug(
        "ar_lightning/inference/evaluate.py", "joint = log_p + log_prior.to(log_p.device)", "joint = log_p", EVALUATE
    ),
    "lanes of a text are scored in the order they are read": Bug(
        "ar_lightning/inference/score.py", "torch.cat([part.rows for part in parts]).argsort()",
        "torch.arange(sum(len(part.rows) for part in parts))", EVALUATE,
    ),
    "a table is scored in units of its own": Bug(
        "ar_lightning/media/table.py",
        "torch.from_numpy(self.standardised(other.original_units(x))).float().view_as(x)", "x", EVALUATE,
    ),
    "devices draw the same samples": Bug(
        "ar_lightning/inference/sample.py", '"noise": noise[rows], ', '"noise": noise[: len(rows)], ',
        "tests/inference/test_sample.py -k shared",
    ),
    "left and right masks are exchanged": Bug(
        "ar_lightning/inference/complete.py", 'return mask if kind == "left" else ~mask',
        'return ~mask if kind == "left" else mask', "tests/inference/test_complete.py",
    ),
    "outliers are the negatives": Bug(
        "ar_lightning/inference/anomaly/scores.py", "np.repeat([0, 1],", "np.repeat([1, 0],", "tests/inference/test_anomaly.py"
    ),
    "complexity is added": Bug(
        "ar_lightning/inference/anomaly/scores.py", "nll / math.log(2) - bits", "nll / math.log(2) + bits",
        "tests/inference/test_anomaly.py",
    ),
    "features see one class alone": Bug(
        "ar_lightning/inference/features/features.py", "        for y in classes:", "        for y in classes[:1]:",
        "tests/inference/test_features.py",
    ),
    "vectors that are given are read as they are": Bug(
        "ar_lightning/density/given.py", "(context - mean) / std", "context - mean", "tests/models/test_context.py"
    ),
    "what follows an end is scored": Bug(
        "ar_lightning/density/lengths.py", "score(read).masked_fill(after_end(read, end), 0)", "score(read)", ENDS
    ),
    "the end itself is not scored": Bug(
        "ar_lightning/density/lengths.py", "[count > ends, ", "[count > 0, ", ENDS
    ),
    "samples go on after their end": Bug(
        "ar_lightning/density/draw.py", "self.over, self.nothing = (x[:, 0, last - (not channel)] == self.end)", "self.over, self.nothing = None",
        ENDS
    ),
    "keys and values of other examples are kept": Bug(
        "ar_lightning/nn/attention.py", 'self.past["kv"][:, rows]', 'self.past["kv"][:, : len(rows)]', ENDS
    ),
    "bits are of padding too": Bug(
        "ar_lightning/density/metrics.py", "if dims is None else dims.sum()", "if True else dims.sum()",
        "tests/inference/test_ends.py -k bits",
    ),
    "a label hides the vector beside it": Bug(
        "ar_lightning/nn/given.py", "terms[0] + terms[1]", "terms[0]", "tests/models/test_context.py"
    ),
    "a mixture's weights see the value itself": Bug(
        "ar_lightning/density/conditionals.py", "before = ordered.cumsum(1) - ordered", "before = ordered.cumsum(1)",
        "tests/density/test_conditionals.py",
    ),
    "a comparison ranks across settings": Bug(
        "ar_lightning/inference/compare/table.py", "run.nll == best.get(run.setting)",
        "run.nll == min(best.values(), default=None)", "tests/inference/test_compare.py",
    ),
    "events after a checkpoint stay": Bug(
        "ar_lightning/tracking/tensorboard.py", 'self._kwargs["purge_step"] = step + 1', "pass", "tests/tracking/test_tensorboard.py"
    ),
    "Muon takes the momentum as it is": Bug(
        "ar_lightning/training/muon.py", "for _ in range(STEPS):", "for _ in range(0):", "tests/training/test_muon.py"
    ),
}  # fmt: skip
