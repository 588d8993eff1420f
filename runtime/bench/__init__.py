"""How fast is every artifact on this machine, and was the machine quiet enough to say? `runtime.benchmark` is the door.

* running: the whole measurement, from what is asked to the saved report; rounds: who measures when, and what is kept
  when it is interrupted.
* scenarios, plan: what is asked of an artifact, and how long to measure.
* artifact_run: one artifact on its way through a benchmark; server_run, rate_search: its highest rate.
* process, messages, worker: the measured process, seen from the parent, on the wire, and from inside; query is its
  input, measuring, streams, serving and photograph are what it does.
* canary, machine, energy: what is watched while measuring: a tiny fixed work, the system's counters, the power.
* turn, disturbance: a turn's evidence, and the thresholds that say what it means.
* statistics, figures, entry, report: the numbers and their intervals, and everything as a typed value; gates: judged.

Nothing is imported here, since the measured process should load no more than it needs.
"""
