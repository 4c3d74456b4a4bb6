//! Security. Everything here refuses to start when set: ignoring it would open the cluster.

use super::kinds::*;

keys! { SECURITY in "security";
    "enable_auth": BOOL = "false", A, refused,
        "SASL/Kerberos authentication";
    "mandatory_auth": BOOL = "false", A live, refused,
        "Reject unauthenticated peers";
    "enable_zookeeper_kerberos": BOOL = "false", M, refused,
        "Kerberos towards ZooKeeper";
    "krb5_keytab": TEXT = "", A, refused,
        "Keytab path";
    "krb5_config": TEXT = "", A, refused,
        "krb5.conf path";
    "krb5_principal": TEXT = "", A, refused,
        "Principal";
    "service_fqdn": TEXT = "", A, refused,
        "Service host name";
    "service_name": TEXT = "", A, refused,
        "Service name";
    "sasl_plugin_path": TEXT = "/usr/lib/sasl2", A, refused,
        "SASL plug-ins";
    "zookeeper_kerberos_service_name": TEXT = "", M, refused,
        "Older name of [zookeeper] sasl_service_name";
    "zookeeper_sasl_service_fqdn": TEXT = "", M, refused,
        "Older name of [zookeeper] sasl_service_fqdn";
    "enable_acl": BOOL = "false", MR, refused,
        "Access rules";
    "super_users": TEXT = "", MR, refused,
        "Users above the access rules";
    "meta_acl_rpc_allow_list": TEXT = "", M, refused,
        "Calls that everyone may make";
    "enable_ranger_acl": BOOL = "false", MR, refused,
        "Ranger ACL; requires enable_acl";
    "update_ranger_policy_interval_sec": SECONDS = "5", M, refused,
        "Ranger pull period";
    "encryption_cluster_key_name": TEXT = "pegasus_cluster_key", R, refused,
        "Key name in the KMS";
}

keys! { RANGER in "ranger";
    "ranger_service_url": TEXT = "", M, refused,
        "Ranger URL";
    "ranger_service_name": TEXT = "", M, refused,
        "Ranger service";
    "legacy_table_database_mapping_policy_name": TEXT = "__default__", M, refused,
        "Database name for tables that are not named db.table";
}
