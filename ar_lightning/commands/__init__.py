"""What `python run.py` can do: a file for each command, whose `run` takes its arguments and returns an exit code."""

__all__ = ["COMMANDS"]

COMMANDS = {
    "fit": "train, test and sample a model (the default command)",
    "sample": "draw from a trained density, or continue a prompt",
    "complete": "draw what is not known of an example given what is, several times",
    "test": "evaluate a trained density on its test data, or on other data",
    "score": "write the log-likelihood of each example of a dataset or file, as CSV",
    "anomaly": "see how well a likelihood tells other data from its own, and mend its known failure",
    "features": "write hidden representations, and probe what they know of the classes",
    "compress": "write a file without loss in as many bits as a trained density says",
    "decompress": "write a compressed file as it was, bit for bit",
    "compare": "set runs beside each other: a table, and a page of curves and samples",
    "reproduce": "train a row of the published numbers, test it and compare; without a name, list them",
    "sweep": "search hyper-parameters: many trials at once, stopped early, resumed by the same command",
    "sweep-report": "write the best config, the table and the plots of a sweep again",
    "dashboard": "save the panels of a W&B project, or print what they are",
    "list": "print the models, likelihoods, datasets, optimizers and schedules there are",
}
