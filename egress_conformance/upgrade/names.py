"""What routes, steps and stations of an upgrade are called; each name is used once."""

# Routes
CANARY = "canary"
IN_PLACE = "in-place"
COMPATIBILITY = "compatibility"
EXISTING = "existing"
ROUTES = (CANARY, IN_PLACE, COMPATIBILITY)
"""In the order in which they are taken: what the canary did can be rolled back, the upgrade in place cannot."""

# Stations
BEFORE = "before"
BESIDE = "old beside canary"
CANARY_STATION = "canary beside old"
SKEW = "skew"
AFTER = "after"
COMPATIBLE = "compatible"

# Steps
CONTROL = "control"
INSTALL = "install canary"
MOVE = "move to canary"
ROLL_BACK = "roll back"
REMOVE = "remove canary"
CONTROL_PLANE = "control plane"
RESTART = "restart proxies"
COMPATIBILITY_VERSION = "set compatibilityVersion"
CHANGE = "change"
