"""What holds for every test of the framework's own."""

import signal

# A shell that starts something in the background lets it ignore Ctrl-C, and every program started from here would
# inherit that: the tests that interrupt one would wait in vain.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
