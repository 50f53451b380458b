"""A sweep on a cluster
====================

A sweep on a cluster: many jobs take trials from one journal, and the validation set chooses.

Run it by::

    python examples/19_cluster.py --jobs 8 --gpus 1 --partition NAME    8 jobs of Slurm, 40 trials in all
    python examples/19_cluster.py --cluster local --jobs 2              2 processes on this machine
    python examples/19_cluster.py --smoke                               a test run of a few seconds

Needs submitit and Optuna: ``pip install '.[cluster]'``. The script waits for its jobs and prints the best trials.
Run it again, and it goes on: with trials that were cut off, and then with new ones. A job that Slurm ends because its
time is over puts itself into the queue again. The folder must be one that all machines share; the journal in it needs
no server. ``rnnrbm sweep runs/19_cluster`` works on the same trials, and can be started anywhere at any time.
"""

import argparse
from pathlib import Path

import submitit

from rnnrbm.experiment import sweeps

CONFIG = """
[data]
source = "bach"

[model]
name = "rnn-rbm"

[training]
epochs = 100

[sweep]
pruner = "median"
warmup_epochs = 20

[sweep.ranges]
"training.learning_rate" = { low = 1e-3, high = 3e-2, log = true }
"training.weight_decay" = { low = 0.0, high = 0.1 }
"model.n_recurrent" = { low = 64, high = 512, step = 64 }
"model.cell" = { choices = ["gru", "lstm"] }
"""
SMOKE = """
[data]
source = "bach"

[model]
name = "rnn"
n_recurrent = 4

[training]
epochs = 1
transpose_range = [0, 0]

[generation]
n_samples = 1
n_frames = 2

[sweep.ranges]
"training.learning_rate" = { low = 1e-3, high = 3e-2, log = true }
"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--cluster", default="slurm", choices=("slurm", "local", "debug"))
parser.add_argument("--jobs", type=int, default=4)
parser.add_argument("--trials", type=int, default=40, help="of the whole sweep")
parser.add_argument("--gpus", type=int, default=0, help="of each job")
parser.add_argument("--cores", type=int, default=4, help="of each job")
parser.add_argument("--minutes", type=int, default=240)
parser.add_argument("--partition")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/19_cluster"))
args = parser.parse_args()
if args.smoke:
    args.cluster, args.jobs, args.trials = "debug", 2, 1


class Worker:
    """What a job does: it takes trials until there are none left."""

    def __call__(self, folder: str, trials: int) -> None:
        sweeps.work(sweeps.open_sweep(folder), trials)

    def checkpoint(self, folder: str, trials: int) -> submitit.helpers.DelayedSubmission:
        """Submit the job again when its time is over; the trial goes on from its last checkpoint."""
        return submitit.helpers.DelayedSubmission(self, folder, trials)


args.out.parent.mkdir(parents=True, exist_ok=True)
settings = args.out.with_suffix(".toml")
settings.write_text(SMOKE if args.smoke else CONFIG, encoding="utf-8")
sweep = sweeps.open_sweep(settings, args.out)  # errors come before any job is submitted

executor = submitit.AutoExecutor(args.out / "jobs", cluster=args.cluster)
executor.update_parameters(timeout_min=args.minutes, cpus_per_task=args.cores, gpus_per_node=args.gpus, name="sweep")
if args.partition:
    executor.update_parameters(slurm_partition=args.partition)
jobs = [executor.submit(Worker(), str(args.out), args.trials) for _ in range(args.jobs)]
print(f"{len(jobs)} jobs, first {jobs[0].job_id}; what they print is in {args.out / 'jobs'}")
for job in jobs:
    job.result()

print(f"{'trial':<12} {'valid':>8} {'epoch':>6}  settings")
for trial in sweeps.ranked(sweep.journal().trials())[:10]:
    values = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in trial.values.items()
    )
    score = "" if trial.score is None else f"{trial.score:.3f}"
    print(f"trial-{trial.number:04}   {score:>8} {trial.epoch:>6}  {values}; {trial.state}")
print(f"the whole table: rnnrbm sweep {args.out} --trials {args.trials}")
