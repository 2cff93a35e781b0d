"""One file on its way into a data set: decoded, cut, filtered, and compared with those before it."""
