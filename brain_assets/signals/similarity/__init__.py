"""What follows from vectors and their nearest neighbours."""
