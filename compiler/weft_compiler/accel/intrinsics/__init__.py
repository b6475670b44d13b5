"""The accelerator's intrinsics, one kind a file: functions of the configuration that declare what hardware does."""
