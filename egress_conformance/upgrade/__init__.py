"""An upgrade of Istio under traffic: the load, the steps, the suite at each station, and the verdicts."""
