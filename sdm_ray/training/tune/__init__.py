"""Search of the settings of `finetune`."""
