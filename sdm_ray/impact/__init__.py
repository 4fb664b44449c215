"""What management or disturbance changed: matched controls, before-after-control-impact estimates, and their checks."""
