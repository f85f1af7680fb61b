// Loaded by mocha before dynalite's suite (`--require`): the suite starts its own server and talks to
// 127.0.0.1; here that server becomes a plain TCP pipe to the cloud named by PILEUS_PORT, byte for
// byte, and signatures name the service, which the suite's signer cannot tell from an address.
'use strict'

const net = require('net')
const path = require('path')
const Module = require('module')

const target = Number(process.env.PILEUS_PORT)
const load = Module._load
const http = require('http')
const send = http.request

function door (options) {
  if (options && options.ssl) throw new Error('the TLS listener of dynalite itself: not ours to pass')
  const server = net.createServer((client) => {
    const cloud = net.connect(target, '127.0.0.1')
    client.pipe(cloud)
    cloud.pipe(client)
    client.on('error', () => cloud.destroy())
    cloud.on('error', () => client.destroy())
  })
  return {
    listen: (port, done) => server.listen(port, '127.0.0.1', done),
    close: (done) => { server.close(); done() },
  }
}

Module._load = function (request, parent, isMain) {
  if (request === '..' && parent && parent.filename.includes(`${path.sep}test${path.sep}`)) return door
  const found = load.apply(this, arguments)
  if (request !== 'aws4' || found.named) return found
  found.named = true
  const sign = found.sign
  found.sign = (options, keys) => {
    options.service = options.service || 'dynamodb'
    options.region = options.region || process.env.AWS_REGION
    return sign.call(found, options, keys)
  }
  return found
}

// Unsigned requests name the service by their host, as they would at its own address.
http.request = function (options, ...more) {
  const headers = options.headers || {}
  const named = Object.keys(headers).some((name) => /^(host|authorization)$/i.test(name))
  if (!named) options.headers = { ...headers, host: `dynamodb.${process.env.AWS_REGION}.localhost` }
  return send.call(this, options, ...more)
}
