//! Sections that exist in any number, and sections whose keys the operator names. A `*` at the end
//! of a section or a key stands for any rest.

use super::kinds::*;

keys! { APPS in "apps.*";
    "type": TEXT = "", A, silent,
        "Role of the section";
    "ports": PORTS = "", A, used,
        "Port of the role; default 34601 meta, 34801 replica, 34101 collector";
    "run": BOOL = "true", A, used,
        "false = the daemon ends at once with a message";
    "count": COUNT = "1", A, used,
        "Instances; always 1 here";
    "arguments": TEXT = "", A, silent,
        "Unused";
    "name": TEXT = "", A, silent,
        "Unused";
    "pools": TEXT = "", A, silent,
        "Thread pools of the reference runtime";
    "delay_seconds": TEXT = "", A, silent,
        "Start delay of the reference runtime";
    "network.client.*": TEXT = "", A, silent,
        "Network plug-in of the reference runtime";
    "network.server.*": TEXT = "", A, silent,
        "Network plug-in of the reference runtime";
}

keys! { META_APPS in "meta_server.apps*";
    "app_name": TEXT = "", M, used,
        "Name of a table that an empty cluster creates at its first start";
    "app_type": TEXT = "pegasus", M, used,
        "Always pegasus";
    "partition_count": POSITIVE = "1", M, used,
        "Partitions of the table";
    "max_replica_count": POSITIVE = "3", M, used,
        "Replicas of each partition";
    "stateful": BOOL = "true", M, used,
        "Always true";
    "envs": TEXT = "", M, used,
        "Table variables: k=v,k=v";
}

keys! { REPLICATION_APP in "replication.app";
    "app_name": TEXT = "", M, used,
        "As in [meta_server.apps.*]";
    "app_type": TEXT = "pegasus", M, used,
        "As in [meta_server.apps.*]";
    "partition_count": POSITIVE = "1", M, used,
        "As in [meta_server.apps.*]";
    "max_replica_count": POSITIVE = "3", M, used,
        "As in [meta_server.apps.*]";
    "stateful": BOOL = "true", M, used,
        "As in [meta_server.apps.*]";
    "envs": TEXT = "", M, used,
        "As in [meta_server.apps.*]";
}

keys! { CLUSTERS in "pegasus.clusters";
    "*": NODES = "", A, used,
        "Meta servers of a cluster, by the name of the cluster";
}

keys! { DUPLICATION_GROUP in "duplication-group";
    "*": CLUSTER_ID = "", A, used,
        "Id of a cluster, 1 to 127, by the name of the cluster";
}

keys! { BLOCK_SERVICE in "block_service.*";
    "type": TEXT = "", MR, silent,
        "local_service or hdfs_service";
    "args": TEXT = "", MR, silent,
        "Root directory, or name node and path";
}

keys! { THREAD_POOLS in "threadpool.*";
    "*": TEXT = "", A, family,
        "Thread pools of the reference runtime; see [replication] shard_count";
}

keys! { TASKS in "task.*";
    "*": TEXT = "", A, family,
        "Task codes of the reference runtime";
}

keys! { TASK_DEFAULT in "task..default";
    "rpc_timeout_milliseconds": TEXT = "5000", A, silent,
        "Default timeout of outgoing calls";
    "*": TEXT = "", A, silent,
        "Task codes of the reference runtime";
}

keys! { COMPONENTS in "components.*";
    "*": TEXT = "", A, silent,
        "Counters of older releases";
}

keys! { TOOLS in "tools.*";
    "*": TEXT = "", A, silent,
        "Tools of the reference runtime";
}

keys! { SHELL in "shell";
    "*": TEXT = "", A, silent,
        "Keys of the reference's shell";
}

keys! { DDL_CLIENT in "ddl_client";
    "*": TEXT = "", A, silent,
        "Keys of the reference's shell";
}
