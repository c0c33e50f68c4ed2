"""Attribution: from counts to credit, with properties, intervals and money."""
