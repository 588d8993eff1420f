"""How fast is every artifact on this machine, and was the machine quiet enough to say? `runtime.benchmark` is the door.

* running: the whole measurement, round by round, and what is kept when it is interrupted.
* plan: how long to measure, and what may be asked.
* artifact_run: one artifact on its way through the rounds.
* process, messages, worker: the measured process, seen from the parent, on the wire, and from inside; query: its input.
* canary, machine: what is watched while measuring: a tiny fixed work, and the system's counters.
* turn, disturbance: a turn's evidence, and the thresholds that say what it means.
* statistics, report: the numbers and their intervals, and everything as a typed value.

Nothing is imported here, since the measured process should load no more than it needs.
"""
