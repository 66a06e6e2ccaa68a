"""The commands: a file for each, whose `run` takes the arguments and returns an exit code."""

__all__ = ["COMMANDS"]

COMMANDS = {
    "fit": "train, test and sample a model (the default command)",
    "sample": "draw from a trained density, or continue a prompt",
    "complete": "draw the unknown part of an example given the known part, several times",
    "test": "evaluate a trained density on its test data, or on other data",
    "score": "write the log-likelihood of each example of a dataset or file, as CSV",
    "anomaly": "measure how well a likelihood detects other data, and correct its known failure",
    "features": "write hidden representations, and probe them for the classes",
    "compress": "compress a file without loss, by the probabilities of a trained density",
    "decompress": "restore a compressed file, bit for bit",
    "export": "write the weights of a run as .safetensors, with its config and result: a small folder to give away",
    "zoo": "list the trained densities that any command takes by name, `zoo:NAME`, with their numbers",
    "compare": "compare runs: a table, and a page of curves and samples",
    "reproduce": "train a row of the published numbers, test it and compare (in a checkout)",
    "sweep": "search hyper-parameters: many trials at once, stopped early, resumed by the same command",
    "sweep-report": "write the best config, the table and the plots of a sweep again",
    "dashboard": "save the panels of a W&B project, or print what they are",
    "list": "print all names: models, likelihoods, datasets, optimizers, schedules, configs and sweeps",
    "init": "copy the bundled configs and sweep files into a directory, to change them",
}
