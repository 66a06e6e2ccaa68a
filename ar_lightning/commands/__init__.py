"""What `python run.py` can do: a file for each command, whose `run` takes its arguments and returns an exit code."""

__all__ = ["COMMANDS"]

COMMANDS = {
    "fit": "train, test and sample a model (the default command)",
    "sample": "draw from a trained density, or continue a prompt",
    "sweep": "search hyper-parameters: many trials at once, stopped early, resumed by the same command",
    "sweep-report": "write the best config, the table and the plots of a sweep again",
    "list": "print the models, likelihoods, datasets, optimizers and schedules there are",
}
