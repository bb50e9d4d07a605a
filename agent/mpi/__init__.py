"""MPI runs: the site's own mpirun on the head node, with a remote-start agent and a daemon of ours in ssh's place."""
