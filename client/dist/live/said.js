// What has been said on one socket, and is gone with it.
export {};
