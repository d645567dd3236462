"""Files of a run's work folder, which the launcher, the workers and an import share."""

MACHINE = "machine.json"  # resources that the checkpoint was made with
RUN_ID = "mlflow_run"  # id of the run in MLflow
STOPPED = "stopped.txt"  # how far a training came that a signal stopped
FAILURE = "failure.txt"  # message of the worker that failed first, which speaks for all
LOCK = "lock"  # held while the run is trained, with the id of the launcher's process
