// A plugin for the Serverless Framework, version 3, whose SDK does not read AWS_ENDPOINT_URL. Copy it beside serverless.yml:
//   plugins: [./pileus.js]
module.exports = class {
  constructor(serverless) {
    const endpoint = process.env.AWS_ENDPOINT_URL;
    if (!endpoint) return; // to AWS itself
    const provider = serverless.getProvider("aws");
    provider.sdk.config.update({ endpoint, s3ForcePathStyle: true });
    // `serverless remove` asks whether there is a repository of container images: there are none.
    const request = provider.request.bind(provider);
    provider.request = async (service, ...rest) => {
      if (service !== "ECR") return request(service, ...rest);
      const error = new Error("Pileus has no container images");
      throw Object.assign(error, { providerError: { code: "RepositoryNotFoundException" } });
    };
  }
};
