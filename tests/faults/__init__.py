"""The catalogue of faults, injected for real and measured: ``make faults``, or its short form in ``test_catalogue``."""
