"""What maintainers run: releases, isolation, benchmarks."""
