"""Between the HTTP process and the engines: messages over a pair of sockets, never pickles."""
