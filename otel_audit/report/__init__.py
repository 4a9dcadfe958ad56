"""One HTML page that shows what a log holds, and proves it in the browser of whoever opens it."""
