"""Operations: the `sivera` command, the local stack, and what starts and checks the jobs."""
