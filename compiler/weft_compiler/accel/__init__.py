"""Programs for the accelerator from scheduled tensor expressions."""
