"""Files of runs that were uploaded or written by them: content-addressed, listed by folder, sent one by one or as a zip."""
