"""What trainings have recorded: applying their records, and answering from what came of it."""
